# maild
